"""Pure builders: from one planned attempt to the object that runs it.

process.py   one machine: argv and environment of the launcher
"""
