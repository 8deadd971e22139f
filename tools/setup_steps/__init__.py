"""The steps behind tools/setup_env.py; standard library only, they run before anything is there."""
