"""Galago: vision-language models on small machines."""
