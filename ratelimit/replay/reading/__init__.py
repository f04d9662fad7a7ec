"""From log files of any usual format to batches of times and keys, in the order of time."""
