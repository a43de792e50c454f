"""What people want of a picture: an answer, a caption, boxes, its text, its fields."""
