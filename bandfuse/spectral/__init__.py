"""Spectral: what is known of bands."""
