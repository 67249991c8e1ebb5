"""What a miniature needs besides its file layout."""
