"""What a model is worth: measured on held-out text, shown in sentences and in a picture."""
