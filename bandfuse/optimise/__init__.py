"""Optimise."""
