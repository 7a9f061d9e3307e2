"""index.py: the layout. shard.py: one tar shard with its marker. dataset.py: shards sealed into a dataset."""
