"""Datasets that ship as packages, as bars."""
