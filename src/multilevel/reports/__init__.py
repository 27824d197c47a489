"""Reports: a fit as one self-contained HTML file, for readers who did not run the code.

report.py       `report(fit, path)`: assembles the page and writes it whole or not at all
context.py      what the sections share, computed once: levels, checks, pooling comparison
markup.py       HTML in which text is escaped unless it says that it is markup; tables
svg.py          axes and marks; figures/ has one figure a file
sections/       one section a file, in the order of `sections.ORDER`
page.py, page.css, page.js    the document around them: no network, no library
"""
