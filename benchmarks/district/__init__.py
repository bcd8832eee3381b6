"""A district from photographs to pictures over HTTP: trained in blocks, judged at borders, flown over."""
