"""Setting the peers up: `setup` installs them, the programs beside it convert models for them."""
