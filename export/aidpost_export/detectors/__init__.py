"""What tells the box that a scan is to be taken again, or is none of the kind that the model was taught on."""
