"""The model API that machines see: who is calling, may they, what did it cost; and the guests' own door."""
