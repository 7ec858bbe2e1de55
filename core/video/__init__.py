"""Pictures and video: taken in, fitted, encoded, measured."""
