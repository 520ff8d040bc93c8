"""Datasets that ship as packages, as panels."""
