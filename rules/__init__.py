"""The rules engine: payload columns in, decisions out. Pure: no I/O, no asyncio."""
