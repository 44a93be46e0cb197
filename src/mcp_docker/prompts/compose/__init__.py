"""From a container, as the engine has it, to the Compose file that makes it again (Compose specification)."""
