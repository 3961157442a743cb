"""How well a library finds what a set of questions is answered by: measures, and what they are taken of."""
