"""What is or may become wrong with an app and its host: one module for each subject. Nothing here changes anything."""
