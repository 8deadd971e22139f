"""Speed of the fused ops beside what they replace: what ``make bench`` runs."""
