"""Same-machine comparisons with libraries: `make bench`. Each module has `run() -> list[BenchRow]`."""
