"""What may be used up, and what has been: limits, holds, the ledger and the price list."""
