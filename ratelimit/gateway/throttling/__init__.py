"""The levels at which requests are throttled, and the counters behind them."""
