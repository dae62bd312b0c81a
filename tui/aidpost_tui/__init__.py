"""The clinic's screen: a keyboard terminal UI over the functions of aidpost_device. No command yet."""
