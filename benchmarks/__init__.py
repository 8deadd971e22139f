"""Speed of the norms side by side: what ``make bench`` runs."""
