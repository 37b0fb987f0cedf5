"""Does a trained model score what it should, and only that."""
