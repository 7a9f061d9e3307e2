"""The MiMo-VL platform: see docs/architecture.md for the map, docs/paper_map.md for report section -> file."""
