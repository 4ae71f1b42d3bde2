"""Leaderboard of reported results and of results trained by this project, with speed."""
