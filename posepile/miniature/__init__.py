"""What a miniature needs besides its file layout."""

# In the raw folder of a miniature: what is drawn in it, and which code made it.
TRUTH = "miniature_truth.json"
MARK = ".miniature.json"
# Numbers drawn in pictures are counted modulo this.
N_NUMBERS = 128
