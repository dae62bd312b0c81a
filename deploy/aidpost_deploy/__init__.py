"""The technician's side: kit, image, flash, provision, certificate and harvest. No command yet."""
