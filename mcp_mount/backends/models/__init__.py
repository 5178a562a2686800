"""Chat models and models of embeddings, whatever answers behind them."""
