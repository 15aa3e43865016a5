"""NASNet-A and PNASNet-5: networks of cells that a search found."""
