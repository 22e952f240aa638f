"""Fast forward and backward passes; each knows tensors and shapes, and no configuration, plan or task.

| piece | what it is for | where |
|---|---|---|
| attention.py | packed examples as sequences of their own, without a mask | where attention is plain |
| lora.py | adapted layers that share an input, in few passes | adapters without dropout, ZeRO 0-2 |
| adapter_gradients.py | two gradients of one reading of the output's gradient | adapters of rank 64 or less, on a GPU |
| nf4.py | 4-bit weights to 16 bits in one pass | QLoRA on a GPU |
| recompute.py | what a layer keeps of its forward pass, and where | ZeRO 0-2; transformers' own elsewhere |
| swiglu.py | the widest activation, neither kept nor computed in a pass of its own | compiled SwiGLU MLPs |
| rotary.py | queries and keys turned as they lie | compiled Llama, Mistral, Qwen2 and Qwen3, packed |
| adamw.py | a step of AdamW on fp32 masters and their 16-bit weights in one pass | on a GPU |

Which of them a run uses is for `ray_ft.training.backends.acceleration` to decide.
"""
