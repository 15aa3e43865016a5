"""Networks and the layers they are made of. Importing the package alone imports nothing heavy."""
