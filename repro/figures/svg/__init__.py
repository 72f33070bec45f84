"""What a drawn figure becomes: a small SVG, with letters that a font has."""
