"""What people and machines read: metrics, pages, mail, status, and the words that they share."""
