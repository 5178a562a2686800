"""What language models are asked, and what they say: the same words for all of them."""
