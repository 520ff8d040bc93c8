"""What all reports share: one self-contained HTML page, and charts as SVG text."""
