"""The commands for a person beside the service, one module each.

Each module has `add`, which declares its arguments and imports nothing heavy, and the coroutine that runs it.
"""
