"""Samplers and pruners, each made anew for every trial from a study's file."""
