"""`python -m operators.mimo_pipeline.kubernetes`: the operator."""

from __future__ import annotations

import sys

from operators.mimo_pipeline.kubernetes.main import main

if __name__ == "__main__":
    sys.exit(main())
