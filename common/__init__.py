"""Small things every part uses: user errors, near matches, atomic files, script entry."""
