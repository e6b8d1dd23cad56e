"""Facts: typed news, written in the causing transaction, delivered at least once to each declared subscriber.

Subjects: anything a clock, gate, page, fact, file or search hit can be about.
"""
