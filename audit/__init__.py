"""Reading the audit trail with the rights of whoever asks: its search language, REST, export and live stream.

What is recorded, and how it is proven, is in `events`. No models, and no pages: those are in `dashboard`.
"""
