"""ray_ft: fine-tune open language models on your own documents and code, on your own Ray cluster."""
