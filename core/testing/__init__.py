"""What plugin authors test with: typed fakes, sample clips, and the conformance kit."""
