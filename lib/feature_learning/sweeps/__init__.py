"""Many points: files that list them, workers that compute them, the store and its tables."""
