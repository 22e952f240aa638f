"""What the training loop does, as far as memory and time depend on it; choice/estimate.py says what runs where."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stack:
    """Software of one run; the defaults are plain transformers in 16 bits, with a mask and without fused kernels."""

    compute_bytes: int = 2  # bf16 or fp16 weights and activations; 4 on CPU
    fused_loss: bool = False  # True: Liger's, which never holds more logits at once than about the hidden states take
    masked_attention: bool = True  # SDPA gets the mask that keeps packed examples apart; False: a varlen kernel
    optimizer_bytes: int = 12  # per trained parameter: fp32 master, momentum, variance
    step_bytes: int = 4  # per parameter that is updated at once: its gradient in fp32; 0 with the kernel of adamw.py
    padding_factor: float = 1.02  # reserved / allocated memory with rows of one length
    kernels: bool = False  # True: compiled layers that keep their products alone (ray_ft/kernels)
    gated: bool = False  # with kernels: the MLP's gated product is not kept either (swiglu.py, rotary.py)
    liger: bool = False  # without kernels: Liger's norms and gates, which keep 16 bits and compute in place
    fused_adapters: bool = True  # with kernels: an adapter adds itself to the frozen product, of which nothing is kept
    own_recomputation: bool = False  # checkpointing keeps attention's output (recompute.py); kernels imply it
    attention: str = ""  # kernel that attends: flash2 or flash4; "" is the one that the profile was measured with
    offload_activations: bool = False  # with own recomputation on a GPU: what is kept waits in host memory

    @property
    def keeps_attention(self) -> bool:
        """Whether checkpointing keeps a layer's attention beside its input."""
        return self.kernels or self.own_recomputation
