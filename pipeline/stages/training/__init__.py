"""What the stages that train share: learners of a fold, members, teachers, prices of passes."""
