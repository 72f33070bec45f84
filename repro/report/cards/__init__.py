"""Cards for the Hugging Face Hub: what a run or a study is, with weights that run no code."""
